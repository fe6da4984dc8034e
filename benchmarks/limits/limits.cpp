// What this machine can do at best, measured: prints one JSON object of multiply-add peaks by instruction set (GOP/s of all threads; a
// multiply-add counts as two) and of read and copy bandwidth by buffer size (GB/s; a copy counts what it reads and what it writes).
// limits THREADS
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#if defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif
#if defined(__aarch64__)
#include <arm_neon.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif
#endif

namespace {

double secondsNow() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// The best of a few runs of body(thread) on all threads, in seconds: what the machine can do, not what it does while disturbed.
template <class Body>
double bestTime(int threads, int runs, Body body) {
  double best = 1e9;
  for (int run = 0; run < runs; ++run) {
    std::atomic<int> ready{0};
    std::atomic<bool> go{false};
    std::vector<std::thread> others;
    for (int i = 1; i < threads; ++i) {
      others.emplace_back([&, i] {
        ++ready;
        while (!go) {
        }
        body(i);
      });
    }
    while (ready < threads - 1) {
    }
    const double start = secondsNow();
    go = true;
    body(0);
    for (auto& other : others) other.join();
    best = std::min(best, secondsNow() - start);
  }
  return best;
}

// Independent chains hide the latency of an instruction; more than the registers hold would spill.
constexpr int kChains = 8;
constexpr int64_t kRounds = 4'000'000;
// A product of tiles is 16 times the work of the widest vector's at least.
constexpr int64_t kTileShare = 16;

// Keeps a value alive without spending an instruction on it.
template <class T>
void keep(T& value) {
#if defined(__x86_64__)
  __asm__ volatile("" : "+v"(value));
#else
  __asm__ volatile("" : "+w"(value));
#endif
}

// Defines a function that runs `step`, which reads and makes `sum`, on kChains independent chains.
#define PEAK(name, features, vector, value, step)                                             \
  __attribute__((target(features))) void name(int) {                                          \
    vector sums[kChains];                                                                     \
    vector x = value;                                                                         \
    keep(x);                                                                                  \
    for (auto& sum : sums) sum = x;                                                           \
    for (int64_t round = 0; round < kRounds; ++round) {                                       \
      _Pragma("GCC unroll 16") for (int chain = 0; chain < kChains; ++chain) {                \
        const vector sum = sums[chain];                                                       \
        sums[chain] = step;                                                                   \
      }                                                                                       \
    }                                                                                         \
    _Pragma("GCC unroll 16") for (int chain = 0; chain < kChains; ++chain) keep(sums[chain]); \
  }

#if defined(__x86_64__)
// In assembly, because the compiler would compute a product of constants once. The addition that each product needs is part of the step.
__attribute__((target("avx2"))) inline __m256i madd(__m256i sum, __m256i x) {
  __m256i product;
  __asm__ volatile("vpmaddwd %2, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "=&x"(product) : "x"(x));
  return sum;
}
PEAK(fmaAvx2, "avx2,fma", __m256, _mm256_set1_ps(0.5f), _mm256_fmadd_ps(x, x, sum))
PEAK(fmaAvx512, "avx512f", __m512, _mm512_set1_ps(0.5f), _mm512_fmadd_ps(x, x, sum))
PEAK(maddAvx2, "avx2", __m256i, _mm256_set1_epi16(1), madd(sum, x))
PEAK(dotAvxVnni, "avxvnni", __m256i, _mm256_set1_epi8(1), _mm256_dpbusd_avx_epi32(sum, x, x))
PEAK(dotVnni, "avx512f,avx512vnni", __m512i, _mm512_set1_epi8(1), _mm512_dpbusd_epi32(sum, x, x))

#if defined(__linux__)
// CPUID leaf 7 (Intel SDM volume 2A), and Linux's leave to use the tile registers, which a process asks for once.
bool hasTiles() {
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  uint32_t a, b, c, d;
  const bool known = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 22 & 1) && (d >> 24 & 1) && (d >> 25 & 1);
  return known && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

// The configuration of 8 whole tiles, palette 1: the bytes of a row and the rows of each.
struct alignas(64) TileConfig {
  uint8_t palette = 1, startRow = 0, reserved[14] = {};
  uint16_t rowBytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Four sums that do not wait for each other, as many as kernels have; a round is kChains products. In assembly because GCC 12's intrinsics
// are macros of whole statements. Zeros serve: the instruction's time does not depend on what it multiplies.
#define TILE_PEAK(name, instruction)                                                                               \
  void name(int) {                                                                                                 \
    static const TileConfig config;                                                                                \
    __asm__ volatile("ldtilecfg %0" ::"m"(config));                                                                \
    for (int64_t round = 0; round < kRounds / kTileShare; ++round) {                                               \
      for (int pair = 0; pair < kChains / 4; ++pair) {                                                             \
        __asm__ volatile(instruction " %tmm6, %tmm4, %tmm0\n\t" instruction " %tmm7, %tmm4, %tmm1\n\t" instruction \
                                     " %tmm6, %tmm5, %tmm2\n\t" instruction " %tmm7, %tmm5, %tmm3");               \
      }                                                                                                            \
    }                                                                                                              \
    __asm__ volatile("tilerelease");                                                                               \
  }
TILE_PEAK(dotTiles, "tdpbssd")
TILE_PEAK(dotTilesBfloat16, "tdpbf16ps")
#else
bool hasTiles() { return false; }
void dotTiles(int) {}
void dotTilesBfloat16(int) {}
#endif
#elif defined(__aarch64__)
PEAK(fmaNeon, "arch=armv8-a", float32x4_t, vdupq_n_f32(0.5f), vfmaq_f32(sum, x, x))
PEAK(dotNeon, "arch=armv8.2-a+dotprod", int32x4_t, vdupq_n_s32(1), vdotq_s32(sum, vreinterpretq_s8_s32(x), vreinterpretq_s8_s32(x)))
#endif

// One multiply-add instruction and how many multiply-adds it makes.
struct Peak {
  const char* name;
  bool available;
  void (*loop)(int thread);
  int multiplyAdds;
  int64_t rounds = kRounds;
};

std::vector<Peak> peaks() {
#if defined(__x86_64__)
  return {
      {"float32 avx2", bool(__builtin_cpu_supports("avx2")) && bool(__builtin_cpu_supports("fma")), fmaAvx2, 8},
      {"float32 avx512", bool(__builtin_cpu_supports("avx512f")), fmaAvx512, 16},
      {"int8 avx2", bool(__builtin_cpu_supports("avx2")), maddAvx2, 16},
      {"int8 avxvnni", bool(__builtin_cpu_supports("avxvnni")), dotAvxVnni, 32},
      {"int8 vnni", bool(__builtin_cpu_supports("avx512vnni")), dotVnni, 64},
      {"int8 amx", hasTiles(), dotTiles, 16 * 16 * 64, kRounds / kTileShare},
      {"bfloat16 amx", hasTiles(), dotTilesBfloat16, 16 * 16 * 32, kRounds / kTileShare},
  };
#elif defined(__aarch64__) && defined(__linux__)
  return {{"float32 neon", true, fmaNeon, 4}, {"int8 dotprod", (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0, dotNeon, 16}};
#else
  return {};
#endif
}

// Sums a buffer with as many accumulators as hide the additions.
#if defined(__x86_64__)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
uint64_t
readAll(const uint64_t* data, size_t count) {
  uint64_t sums[16] = {};
  for (size_t i = 0; i + 16 <= count; i += 16) {
    for (int j = 0; j < 16; ++j) sums[j] += data[i + j];
  }
  uint64_t sum = 0;
  for (uint64_t part : sums) sum += part;
  return sum;
}

void printBandwidths(int threads) {
  std::printf("\"bandwidth\":[");
  bool first = true;
  for (const size_t kib : {256, 1024, 4096, 16384, 32768, 65536, 262144}) {
    const size_t bytes = kib * 1024, share = bytes / threads / sizeof(uint64_t);
    std::unique_ptr<uint64_t[]> from(new uint64_t[bytes / 8]), to(new uint64_t[bytes / 8]);
    std::memset(from.get(), 1, bytes);
    std::memset(to.get(), 1, bytes);
    const int repeats = static_cast<int>(std::max<size_t>(1, (size_t{64} << 20) / bytes));
    std::atomic<uint64_t> sink{0};
    const double read = bestTime(threads, 7, [&](int thread) {
      uint64_t sum = 0;
      for (int i = 0; i < repeats; ++i) {
        sum += readAll(from.get() + thread * share, share);
        keep(sum);
      }
      sink += sum;
    });
    const double copy = bestTime(threads, 7, [&](int thread) {
      for (int i = 0; i < repeats; ++i) {
        std::memcpy(to.get() + thread * share, from.get() + thread * share, share * sizeof(uint64_t));
        __asm__ volatile("" ::: "memory");
      }
    });
    const double moved = static_cast<double>(share) * threads * sizeof(uint64_t) * repeats / 1e9;
    std::printf("%s{\"bytes\":%zu,\"readGBs\":%.2f,\"copyGBs\":%.2f}", first ? "" : ",", bytes, moved / read, 2 * moved / copy);
    first = false;
  }
  std::printf("]");
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::max(1, std::atoi(argv[1])) : static_cast<int>(std::thread::hardware_concurrency());
  std::printf("{\"threads\":%d,\"peakGops\":{", threads);
  bool first = true;
  for (const Peak& peak : peaks()) {
    if (!peak.available) continue;
    const double seconds = bestTime(threads, 5, peak.loop);
    const double operations = 2.0 * peak.multiplyAdds * kChains * static_cast<double>(peak.rounds) * threads;
    std::printf("%s\"%s\":%.1f", first ? "" : ",", peak.name, operations / seconds / 1e9);
    first = false;
  }
  std::printf("},");
  printBandwidths(threads);
  std::printf("}\n");
  return 0;
}
