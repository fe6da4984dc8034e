// The tests of test/fixtures once more, in a process where tensors and models live on another device.
import { execFile } from 'node:child_process';
import { join } from 'node:path';

const root = join(__dirname, '../..');

interface Report {
  readonly testResults: readonly {
    readonly message: string;
    readonly assertionResults: readonly {
      readonly status: string;
      readonly ancestorTitles: readonly string[];
      readonly title: string;
      readonly failureMessages: readonly string[];
    }[];
  }[];
}

export interface FixtureRun {
  /** Of tests and of the groups that they are in: each begins with the id of its case, or has no case. */
  readonly titles: readonly string[];
  readonly passed: number;
  readonly failures: readonly string[];
}

/** Runs them with Jest, which must find the C++ programs of the tests built. */
export async function runFixtures(device: string, environment: Readonly<Record<string, string>>): Promise<FixtureRun> {
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  const settings = { ...(require('../../jest.config.js') as object), rootDir: root, globalSetup: undefined };
  const jest = join(root, 'node_modules/jest/bin/jest.js');
  const command = [jest, '--config', JSON.stringify(settings), '--runInBand', '--json', 'test/fixtures/'];
  const env = { ...process.env, ...environment, QUANTO_FIXTURE_DEVICE: device };
  const { testResults } = await new Promise<Report>((resolve, reject) => {
    // Failing tests end it with a status of 1, and their report is what is wanted then.
    execFile(process.execPath, command, { cwd: root, env, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      if (stdout.startsWith('{')) resolve(JSON.parse(stdout) as Report);
      else reject(new Error(`the tests of the fixtures did not run: ${stderr.slice(-2000)}`, { cause: error }));
    });
  });
  const results = testResults.flatMap(({ assertionResults }) => assertionResults);
  const failed = results.filter(({ status }) => status !== 'passed');
  return {
    titles: results.flatMap(({ ancestorTitles, title }) => [...ancestorTitles, title]),
    passed: results.length - failed.length,
    failures: [
      // Of a file that did not run at all.
      ...testResults.filter(({ message, assertionResults }) => message && assertionResults.length === 0).map(({ message }) => message),
      ...failed.map(({ title, failureMessages }) => `${title}: ${failureMessages.join().slice(0, 300)}`),
    ],
  };
}
