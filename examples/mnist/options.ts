import { InvalidArgumentError } from 'commander';

export const DEFAULT_BATCH_SIZE = 128;

export function positiveInteger(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('Expected an integer of at least 1.');
  return Number(text);
}
