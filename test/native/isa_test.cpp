// QUANTO_ISA: caps, bad values, and what each level implies. The program runs itself with each value.
#include "cpu/isa.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "check.h"
#include "cpu/gemm/gemm.h"

using namespace quanto::cpu;

namespace {

constexpr int kLevels = static_cast<int>(Isa::dotprod) + 1;

Isa levelAt(int index) { return static_cast<Isa>(index); }

// In a child: the cap named by QUANTO_ISA is one that the machine has.
int checkCapped(const char* cap) {
  CHECK(isaError() == nullptr, "QUANTO_ISA=%s: %s", cap, isaError());
  CHECK(std::strcmp(isaName(bestIsa()), cap) == 0, "QUANTO_ISA=%s chose %s", cap, isaName(bestIsa()));
  bool reached = false;
  for (int i = 0; i < kLevels; ++i) {
    if (reached) CHECK(!hasIsa(levelAt(i)) && isaRefusal(levelAt(i)), "QUANTO_ISA=%s allows %s", cap, isaName(levelAt(i)));
    reached = reached || std::strcmp(isaName(levelAt(i)), cap) == 0;
  }
  return check::failed != 0;
}

// In a child: the value cannot be honoured.
int checkRefused(const char* value) {
  CHECK(isaError() != nullptr, "QUANTO_ISA=%s is accepted", value);
  CHECK(isaError() && std::strstr(isaError(), value), "the error does not name the value: %s", isaError());
  CHECK(bestIsa() == Isa::ref, "QUANTO_ISA=%s leaves %s in use", value, isaName(bestIsa()));
  return check::failed != 0;
}

bool childSucceeds(const char* isa, const char* mode) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    setenv("QUANTO_ISA", isa, 1);
    execl("/proc/self/exe", "isa_test", mode, nullptr);
    _exit(127);
  }
  int status = 1;
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// What QUANTO_VERBOSE=dispatch prints about one machine's choice.
std::string dispatchLog(const char* isa) {
  int ends[2];
  if (pipe(ends) != 0) return "";
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 2);
    setenv("QUANTO_ISA", isa, 1);
    setenv("QUANTO_VERBOSE", "dispatch", 1);
    execl("/proc/self/exe", "isa_test", "describe", nullptr);
    _exit(127);
  }
  close(ends[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t got; (got = read(ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, got);
  close(ends[0]);
  waitpid(child, nullptr, 0);
  return text;
}

int describeTwice() {
  gemmDescription();
  gemmDescription();
  return 0;
}

void uncapped() {
  CHECK(isaError() == nullptr, "an error without QUANTO_ISA: %s", isaError());
  CHECK(hasIsa(Isa::ref), "the reference is refused");
  for (const Isa isa : {Isa::avxvnni, Isa::avx512, Isa::vnni, Isa::amx}) {
    CHECK(!hasIsa(isa) || hasIsa(Isa::avx2), "%s without avx2", isaName(isa));
  }
  CHECK(!hasIsa(Isa::vnni) || hasIsa(Isa::avx512), "vnni without avx512");
  CHECK(!hasIsa(Isa::amx) || hasIsa(Isa::vnni), "amx without vnni");
  CHECK(!hasIsa(Isa::dotprod) || hasIsa(Isa::neon), "dotprod without neon");
}

void dispatchIsPrintedOnce() {
  const std::string log = dispatchLog("ref");
  const char* chosen = "quanto: gemm int8: ref chosen\n";
  const size_t at = log.find(chosen);
  CHECK(at != std::string::npos, "the log lacks the choice:\n%s", log.c_str());
  CHECK(at != std::string::npos && log.find(chosen, at + 1) == std::string::npos, "the choice is printed twice:\n%s", log.c_str());
#if defined(__x86_64__)
  CHECK(log.find("quanto: gemm float32: avx512 ") != std::string::npos, "the log lacks a refusal:\n%s", log.c_str());
#endif
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) {
    const std::string mode = argv[1];
    const char* isa = std::getenv("QUANTO_ISA");
    return mode == "describe" ? describeTwice() : mode == "capped" ? checkCapped(isa) : checkRefused(isa);
  }
  unsetenv("QUANTO_ISA");
  uncapped();
  for (int i = 0; i < kLevels; ++i) {
    const char* name = isaName(levelAt(i));
    CHECK(childSucceeds(name, hasIsa(levelAt(i)) ? "capped" : "refused"), "QUANTO_ISA=%s misbehaves", name);
  }
  for (const char* bad : {"sse9", "AVX2", "avx512 "}) CHECK(childSucceeds(bad, "refused"), "QUANTO_ISA=\"%s\" misbehaves", bad);
  dispatchIsPrintedOnce();
  return check::report("isa_test");
}
