// The reference fixtures on the emulated device.
import { describeFixtures, fixtureCases } from '../harness/fixtures';
import { runFixtures } from '../harness/fixture-run';

const topics = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11];
// The convolution of 4 bits has no test on the CPU either.
const untested = ['t5.conv0.qint4'];

describeFixtures('on the emulated device', () => {
  it('every fixture holds', async () => {
    const { titles, failures } = await runFixtures('cuda', { QUANTO_CUDA_EMULATE: '1' });
    expect(failures).toEqual([]);
    // None is left out: a title begins with its case.
    const ids = topics.flatMap((topic) => fixtureCases(topic).map(({ id }) => id));
    expect(ids.filter((id) => !titles.some((title) => title.split(/[: ]/)[0] === id))).toEqual(untested);
  }, 240_000);
});
