// The fixtures on the emulated device: the tests of test/fixtures once more, in a process where tensors and models live there.
import { execFile } from 'node:child_process';
import { join } from 'node:path';

import { describeFixtures, fixtureCases } from '../harness/fixtures';

const root = join(__dirname, '../..');
// The convolution of 4 bits has no test on the CPU either.
const untested = ['t5.conv0.qint4'];

interface Report {
  readonly numTotalTests: number;
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

/** What Jest reports of the tests of the fixtures on the emulated device. */
function runOnDevice(): Promise<Report> {
  // The C++ programs are built by the run that this one is a part of.
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  const settings = { ...(require('../../jest.config.js') as object), rootDir: root, globalSetup: undefined };
  const command = [
    join(root, 'node_modules/jest/bin/jest.js'),
    '--config',
    JSON.stringify(settings),
    '--runInBand',
    '--json',
    'test/fixtures/',
  ];
  const env = { ...process.env, QUANTO_CUDA_EMULATE: '1', QUANTO_FIXTURE_DEVICE: 'cuda' };
  return new Promise((resolve, reject) => {
    // Failing tests end it with a status of 1, and their report is what is wanted then.
    execFile(process.execPath, command, { cwd: root, env, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      if (stdout.startsWith('{')) resolve(JSON.parse(stdout) as Report);
      else reject(new Error(`the tests of the fixtures did not run: ${stderr.slice(-2000)}`, { cause: error }));
    });
  });
}

describeFixtures('on the emulated device', () => {
  it('every fixture holds', async () => {
    const { testResults } = await runOnDevice();
    const results = testResults.flatMap(({ assertionResults }) => assertionResults);
    const failures = results.filter(({ status }) => status !== 'passed');
    expect(failures.map(({ title, failureMessages }) => `${title}: ${failureMessages.join().slice(0, 300)}`)).toEqual([]);
    expect(testResults.map(({ message }) => message).filter(Boolean)).toEqual([]);
    // None is left out: a title begins with its case.
    const titles = results.flatMap(({ ancestorTitles, title }) => [...ancestorTitles, title]);
    const topics = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11];
    const ids = topics.flatMap((topic) => fixtureCases(topic).map(({ id }) => id));
    expect(ids.filter((id) => !titles.some((title) => title.split(/[: ]/)[0] === id))).toEqual(untested);
  }, 240_000);
});
