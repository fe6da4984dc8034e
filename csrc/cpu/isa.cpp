#include "isa.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <unistd.h>
#if defined(__x86_64__)
#include <sys/syscall.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif
#endif

namespace quanto::cpu {
namespace {

constexpr const char* kNames[] = {"ref", "avx2", "avxvnni", "avx512", "vnni", "amx", "neon", "dotprod"};
constexpr int kCount = sizeof(kNames) / sizeof(kNames[0]);
constexpr const char* kChoices = "ref, avx2, avxvnni, avx512, vnni, amx, neon, dotprod";

#if defined(__x86_64__)

bool bit(uint32_t word, int index) { return word >> index & 1; }

// Which register state the system saves on a task switch (Intel SDM volume 1, 13.3).
uint64_t enabledState() {
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<uint64_t>(high) << 32 | low;
}

// Linux hands out the tile registers on request only, once per process (kernel documentation, arch/x86/xstate).
bool requestTiles() {
#if defined(__linux__)
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

// Bits: Intel SDM volume 2A, CPUID leaves 1 and 7.
void detect(bool* has, const char** why) {
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return;
  const bool osxsave = bit(c, 27), fma = bit(c, 12), f16c = bit(c, 29);
  const uint64_t state = osxsave ? enabledState() : 0;
  constexpr uint64_t kYmm = 0x6, kZmm = 0xe6, kTiles = 0x60000;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
  const uint32_t subleaves = a, features = b, features2 = c, features3 = d;
  has[static_cast<int>(Isa::avx2)] = (state & kYmm) == kYmm && fma && f16c && bit(features, 5);
  if (!has[static_cast<int>(Isa::avx2)]) return;
  if (subleaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) has[static_cast<int>(Isa::avxvnni)] = bit(a, 4);
  const bool avx512 = (state & kZmm) == kZmm && bit(features, 16) && bit(features, 17) && bit(features, 30) && bit(features, 31);
  has[static_cast<int>(Isa::avx512)] = avx512;
  has[static_cast<int>(Isa::vnni)] = avx512 && bit(features2, 11);
  const bool tiles = bit(features3, 22) && bit(features3, 24) && bit(features3, 25);
  if (!has[static_cast<int>(Isa::vnni)] || !tiles) return;
  if ((state & kTiles) == kTiles && requestTiles()) {
    has[static_cast<int>(Isa::amx)] = true;
  } else {
    why[static_cast<int>(Isa::amx)] = "the system refused the use of its tile registers";
  }
}

#elif defined(__aarch64__)

void detect(bool* has, const char**) {
  has[static_cast<int>(Isa::neon)] = true;
#if defined(__linux__)
  has[static_cast<int>(Isa::dotprod)] = getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
#elif defined(__APPLE__)
  has[static_cast<int>(Isa::dotprod)] = true;  // every Apple silicon Mac has it
#endif
}

#else

void detect(bool*, const char**) {}

#endif

struct Levels {
  const char* refusal[kCount];
  char capText[80];
  char error[200];

  Levels() : capText{}, error{} {
    bool has[kCount] = {true};
    for (auto& reason : refusal) reason = "this CPU does not have it";
    detect(has, refusal);
    for (int i = 0; i < kCount; ++i) {
      if (has[i]) refusal[i] = nullptr;
    }
    const char* wanted = std::getenv("QUANTO_ISA");
    if (wanted && *wanted) cap(wanted);
  }

  void cap(const char* wanted) {
    int level = 0;
    while (level < kCount && std::strcmp(wanted, kNames[level]) != 0) ++level;
    if (level == kCount) {
      std::snprintf(error, sizeof error, "QUANTO_ISA is \"%.40s\" but must be one of %s; correct or unset it", wanted, kChoices);
    } else if (refusal[level]) {
      std::snprintf(error, sizeof error, "QUANTO_ISA asks for %s, but %s; choose a lower level or unset it", kNames[level], refusal[level]);
    }
    if (*error) level = 0;
    std::snprintf(capText, sizeof capText, "QUANTO_ISA=%.40s does not allow it", wanted);
    for (int i = level + 1; i < kCount; ++i) {
      if (!refusal[i]) refusal[i] = capText;
    }
  }
};

// Built on first use and never destroyed: kernels may still run while the process exits.
const Levels& levels() {
  static const Levels instance;
  return instance;
}

}  // namespace

const char* isaRefusal(Isa isa) { return levels().refusal[static_cast<int>(isa)]; }

bool hasIsa(Isa isa) { return !isaRefusal(isa); }

const char* isaName(Isa isa) { return kNames[static_cast<int>(isa)]; }

Isa bestIsa() {
  int best = kCount - 1;
  while (!hasIsa(static_cast<Isa>(best))) --best;
  return static_cast<Isa>(best);
}

const char* isaError() { return *levels().error ? levels().error : nullptr; }

}  // namespace quanto::cpu
