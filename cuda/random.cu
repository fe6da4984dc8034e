#include "../csrc/philox.h"
#include "backend.h"
#include "loops.h"
#include "queue.h"

namespace quanto::cuda {

// Each thread makes the four elements of one counter.
Status uniform(Queue* queue, const View* out, double low, double high, uint64_t seed, uint64_t offset) {
  Issue issue(queue);
  const auto loop = makeLoop({out});
  const Operand target(*out);
  const auto first = static_cast<float>(low), width = static_cast<float>(high - low), end = static_cast<float>(high);
  issue.forEach((loop.count + 3) / 4, [=] QUANTO_DEVICE(int64_t four) {
    const philox::Words words = philox::draw(seed, offset + static_cast<uint64_t>(four));
    for (int i = 0; i < 4 && four * 4 + i < loop.count; ++i) {
      // Rounding may reach `high`, which is outside.
      const float value = rounded(first + width * philox::unitInterval(words.word[i]), target.dtype);
      int64_t at[1];
      loop.place(four * 4 + i, at);
      target.set(at[0], value < end ? value : first);
    }
  });
  return issue.finish();
}

Status normal(Queue* queue, const View* out, double mean, double deviation, uint64_t seed, uint64_t offset) {
  Issue issue(queue);
  const auto loop = makeLoop({out});
  const Operand target(*out);
  const auto center = static_cast<float>(mean), scale = static_cast<float>(deviation);
  issue.forEach((loop.count + 3) / 4, [=] QUANTO_DEVICE(int64_t four) {
    const philox::Words words = philox::draw(seed, offset + static_cast<uint64_t>(four));
    const philox::Pair pairs[] = {philox::normalPair(words.word[0], words.word[1]), philox::normalPair(words.word[2], words.word[3])};
    for (int i = 0; i < 4 && four * 4 + i < loop.count; ++i) {
      int64_t at[1];
      loop.place(four * 4 + i, at);
      target.set(at[0], center + scale * (i % 2 == 0 ? pairs[i / 2].first : pairs[i / 2].second));
    }
  });
  return issue.finish();
}

Status randint(Queue* queue, const View* out, int64_t low, int64_t high, uint64_t seed, uint64_t offset) {
  Issue issue(queue);
  const auto loop = makeLoop({out});
  const Operand target(*out);
  const uint64_t range = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
  issue.forEach((loop.count + 3) / 4, [=] QUANTO_DEVICE(int64_t four) {
    const uint64_t counter = offset + static_cast<uint64_t>(four);
    const philox::Words upper = philox::draw(seed, counter), lower = philox::draw(seed, counter, 1);
    for (int i = 0; i < 4 && four * 4 + i < loop.count; ++i) {
      int64_t at[1];
      loop.place(four * 4 + i, at);
      target.set(at[0], static_cast<int64_t>(static_cast<uint64_t>(low) + philox::below(range, upper.word[i], lower.word[i])));
    }
  });
  return issue.finish();
}

}  // namespace quanto::cuda
