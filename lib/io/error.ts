import { QuantoError } from '../tensor/error';

const SHOWN_LENGTH = 80;

/** Quotes a piece of a file for a message: escapes are visible, and a hostile name cannot flood the terminal. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > SHOWN_LENGTH ? `${text.slice(0, SHOWN_LENGTH)}...` : text);
}

/** What a file holds is not what its format asks for. `problem` says what was expected and what came. */
export function invalidFile(file: string, problem: string): QuantoError {
  return new QuantoError('INVALID_FILE', `[io] ${file}: ${problem}; the file is damaged or not what its name says: fetch or save it again`);
}

/**
 * Runs file operations; what the system refuses (a missing file, no permission, a full disk) becomes a QuantoError 'IO'.
 * @param action what was tried, as in "cannot ACTION PATH"
 */
export async function withIoErrors<T>(action: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (error instanceof QuantoError || typeof code !== 'string') throw error;
    throw new QuantoError('IO', `[io] cannot ${action} ${path}: ${message}; check the path, the permissions and the free space`);
  }
}
