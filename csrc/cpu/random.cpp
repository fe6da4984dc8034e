#include "../philox.h"
#include "elements.h"
#include "kernels.h"
#include "loops.h"

namespace quanto::cpu {
namespace {

// Fills `out` four elements at a time: four(counter, values) makes those of one counter.
template <class T, class Four>
Status generate(const View& out, uint64_t offset, Four&& four) {
  const auto loop = makeLoop({&out});
  const Writer<T> writer(out, loop.innerStride(0));
  forEachRunParallel(loop, kCostlyGrain, kBlock, [&](int64_t index, const int64_t(&offsets)[1], int64_t n) {
    // A run may begin and end within the four elements of a counter.
    T values[kBlock + 8];
    const int64_t skipped = index % 4;
    for (int64_t i = 0; i < skipped + n; i += 4) four(offset + static_cast<uint64_t>((index + i) / 4), values + i);
    const T* source = values + skipped;
    T* target = writer.target(offsets[0], values + skipped);
    if (target != source) std::copy_n(source, n, target);
    writer.write(offsets[0], n, source);
  });
  return Status::ok;
}

}  // namespace

Status uniform(Queue*, const View* out, double low, double high, uint64_t seed, uint64_t offset) {
  const auto first = static_cast<float>(low), width = static_cast<float>(high - low), end = static_cast<float>(high);
  const DType dtype = dtypeOf(*out);
  const Store<float> narrow = storeFunction<float>(dtype);
  const Load<float> widen = loadFunction<float>(dtype);
  return generate<float>(*out, offset, [=](uint64_t counter, float* values) {
    const philox::Words words = philox::draw(seed, counter);
    for (int i = 0; i < 4; ++i) {
      float value = first + width * philox::unitInterval(words.word[i]);
      if (dtype != DType::float32) {
        uint32_t bits;
        narrow(&value, 1, &bits, 1);
        widen(&bits, 1, 1, &value);
      }
      // Rounding may reach `high`, which is outside.
      values[i] = value < end ? value : first;
    }
  });
}

Status normal(Queue*, const View* out, double mean, double deviation, uint64_t seed, uint64_t offset) {
  const auto center = static_cast<float>(mean), scale = static_cast<float>(deviation);
  return generate<float>(*out, offset, [=](uint64_t counter, float* values) {
    const philox::Words words = philox::draw(seed, counter);
    for (int i = 0; i < 4; i += 2) {
      const philox::Pair pair = philox::normalPair(words.word[i], words.word[i + 1]);
      values[i] = center + scale * pair.first;
      values[i + 1] = center + scale * pair.second;
    }
  });
}

Status randint(Queue*, const View* out, int64_t low, int64_t high, uint64_t seed, uint64_t offset) {
  const uint64_t range = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
  return generate<int64_t>(*out, offset, [=](uint64_t counter, int64_t* values) {
    const philox::Words upper = philox::draw(seed, counter), lower = philox::draw(seed, counter, 1);
    for (int i = 0; i < 4; ++i) {
      values[i] = static_cast<int64_t>(static_cast<uint64_t>(low) + philox::below(range, upper.word[i], lower.word[i]));
    }
  });
}

}  // namespace quanto::cpu
