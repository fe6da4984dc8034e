// The 8-bit fixtures on the emulated device: the tests of test/fixtures once more, in a process where tensors and models live there.
import { execFile } from 'node:child_process';
import { join } from 'node:path';

import { describeFixtures, fixtureIds } from '../harness/fixtures';

const root = join(__dirname, '../..');
const topics = { quantize: 1, linear: 4, products: 5, dispatch: 6, calibration: 7, checkpoint: 8, qat: 9, edge: 11 };

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
  const pattern = `test/fixtures/(${Object.keys(topics).join('|')}).test.ts`;
  const command = [join(root, 'node_modules/jest/bin/jest.js'), '--config', JSON.stringify(settings), '--runInBand', '--json', pattern];
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
  it('every 8-bit fixture holds', async () => {
    const { testResults } = await runOnDevice();
    const results = testResults.flatMap(({ assertionResults }) => assertionResults);
    const failures = results.filter(({ status }) => status !== 'passed');
    expect(failures.map(({ title, failureMessages }) => `${title}: ${failureMessages.join().slice(0, 300)}`)).toEqual([]);
    expect(testResults.map(({ message }) => message).filter(Boolean)).toEqual([]);
    // None is left out: a title begins with its case, or says what the case is about.
    const titles = results.flatMap(({ ancestorTitles, title }) => [...ancestorTitles, title]);
    const missing = fixtureIds(Object.values(topics)).filter((id) => !titles.some((title) => title.split(/[: ]/)[0] === id));
    expect(missing).toEqual([]);
  }, 240_000);
});
