// Runs a test program once under each instruction set that the machine has.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "cpu/isa.h"

// Null in a child, whose caller goes on with the tests; else the children's combined exit status.
inline const int* runUnderEveryIsa(char** argv) {
  using namespace quanto::cpu;
  if (std::getenv("QUANTO_ISA")) return nullptr;
  static int status = 0;
  for (int level = 0; level <= static_cast<int>(Isa::dotprod); ++level) {
    const Isa isa = static_cast<Isa>(level);
    if (!hasIsa(isa)) {
      std::printf("%s: skipped, %s\n", isaName(isa), isaRefusal(isa));
      continue;
    }
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
      setenv("QUANTO_ISA", isaName(isa), 1);
      execv("/proc/self/exe", argv);
      _exit(127);
    }
    int result = 0;
    if (child < 0 || waitpid(child, &result, 0) < 0 || !WIFEXITED(result) || WEXITSTATUS(result) != 0) status = 1;
  }
  return &status;
}
