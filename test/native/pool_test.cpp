// The thread pool: every index once, from many callers, nested, resized, forked, and at exit; the CPU limits; scratch memory.
#include "cpu/pool.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "cpu/cpu_count.h"

using namespace quanto::cpu;

// ThreadSanitizer refuses threads in a forked child unless told otherwise; unused in other builds.
extern "C" const char* __tsan_default_options() { return "die_after_fork=0"; }

namespace {

// Counts how often each index is visited; the parallel bodies write disjoint elements.
bool visitsOnce(int64_t count, int64_t grain) {
  std::vector<int> visits(count);
  parallelFor(count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) ++visits[i];
  });
  for (const int n : visits) {
    if (n != 1) return false;
  }
  return true;
}

void everyIndexOnce() {
  for (const int threads : {1, 2, 3, 8}) {
    setThreadCount(threads);
    CHECK(threadCount() == threads, "threadCount is %d after setThreadCount(%d)", threadCount(), threads);
    for (const int64_t count : {0, 1, 2, 7, 100, 10001}) {
      for (const int64_t grain : {1, 3, 1000, 100000}) {
        CHECK(visitsOnce(count, grain), "%d threads, count %ld, grain %ld: not every index once", threads, long(count), long(grain));
      }
    }
  }
  setThreadCount(0);
  CHECK(threadCount() == 1, "a thread count of 0 is not raised to 1");
}

void smallPieces() {
  setThreadCount(4);
  std::atomic<int64_t> smallest{1 << 20};
  parallelFor(1000, 90, [&](int64_t begin, int64_t end) {
    if (end == 1000) return;  // the last may be smaller
    int64_t seen = smallest.load();
    while (end - begin < seen && !smallest.compare_exchange_weak(seen, end - begin)) {
    }
  });
  CHECK(smallest >= 90, "a piece of %ld is below the grain", long(smallest.load()));
}

void nested() {
  setThreadCount(3);
  std::atomic<int64_t> total{0};
  std::atomic<bool> moved{false};
  parallelFor(20, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto here = std::this_thread::get_id();
      parallelFor(50, 1, [&](int64_t b, int64_t e) {
        if (std::this_thread::get_id() != here) moved = true;
        total += e - b;
      });
    }
  });
  CHECK(total == 1000, "nested loops visited %ld of 1000", long(total.load()));
  CHECK(!moved, "a nested loop left its thread");
}

// More callers than the pool has slots, while the thread count changes.
void manyCallers() {
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < 24; ++c) {
    callers.emplace_back([&wrong, c] {
      for (int round = 0; round < 100; ++round) {
        if (!visitsOnce(100 + c * 7 + round, 1)) ++wrong;
        if (c == 0 && round % 10 == 0) setThreadCount(1 + round / 10 % 4);
      }
    });
  }
  for (auto& caller : callers) caller.join();
  CHECK(wrong == 0, "%d loops of concurrent callers went wrong", wrong.load());
}

void wakesAfterSleep() {
  setThreadCount(3);
  for (int round = 0; round < 5; ++round) {
    CHECK(visitsOnce(1000, 1), "round %d after sleep went wrong", round);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

// Runs `child` in a forked process, and says whether it exits with 0 within 20 seconds.
template <class Child>
bool succeedsInChild(Child child) {
  std::fflush(nullptr);
  const pid_t pid = fork();
  if (pid == 0) {
    alarm(20);
    child();
    _exit(1);
  }
  int status = 1;
  return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void forkAndExit() {
  setThreadCount(4);
  visitsOnce(1000, 1);
  CHECK(succeedsInChild([] { _exit(visitsOnce(1000, 1) && visitsOnce(1000, 1) ? 0 : 1); }), "the pool does not work in a forked child");
  CHECK(succeedsInChild([] {
          visitsOnce(1000, 1);
          std::exit(0);  // while workers spin
        }),
        "exit hangs or fails right after work");
  CHECK(succeedsInChild([] {
          visitsOnce(1000, 1);
          usleep(5000);
          std::exit(0);  // while workers sleep
        }),
        "exit hangs or fails while workers sleep");
}

// A limit on the user's processes makes std::thread throw, except for root, whom it does not bind.
void fewerThreads() {
  const bool worked = succeedsInChild([] {
    if (geteuid() == 0 && setuid(65534) != 0) _exit(0);
    const rlimit none{0, 0};
    setrlimit(RLIMIT_NPROC, &none);
    setThreadCount(8);
    _exit(visitsOnce(1000, 1) && threadCount() == 1 ? 0 : 1);
  });
  CHECK(worked, "a refused thread is not made up for by the others");
}

struct FakeRoot {
  std::string path;

  FakeRoot() {
    char name[] = "/tmp/quanto-root-XXXXXX";
    path = std::string(mkdtemp(name)) + "/";
  }
  ~FakeRoot() { CHECK(std::system(("rm -r " + path).c_str()) == 0, "cannot remove %s", path.c_str()); }
  void write(const std::string& file, const std::string& text) const {
    for (size_t slash = file.find('/'); slash != std::string::npos; slash = file.find('/', slash + 1)) {
      mkdir((path + file.substr(0, slash)).c_str(), 0777);
    }
    std::ofstream(path + file) << text;
  }
  int limit() const { return cgroupCpuLimit(path.c_str()); }
};

void cgroupLimits() {
  CHECK(FakeRoot().limit() == 0, "a limit without any cgroup");
  FakeRoot two;
  two.write("proc/self/cgroup", "0::/a/b\n");
  CHECK(two.limit() == 0, "version 2 without cpu.max");
  two.write("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  CHECK(two.limit() == 0, "version 2 with max");
  two.write("sys/fs/cgroup/a/cpu.max", "250000 100000\n");
  CHECK(two.limit() == 3, "version 2, parent of 2.5 CPUs: %d", two.limit());
  two.write("sys/fs/cgroup/a/b/cpu.max", "10000 100000\n");
  CHECK(two.limit() == 1, "version 2, 0.1 CPUs: %d", two.limit());
  FakeRoot one;
  one.write("proc/self/cgroup", "5:cpuset:/x\n4:cpu,cpuacct:/docker/1\n0::/\n");
  one.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n");
  one.write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  CHECK(one.limit() == 2, "version 1, quota of the mount: %d", one.limit());
  one.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  CHECK(one.limit() == 0, "version 1 without quota: %d", one.limit());
  CHECK(availableCpus() >= 1, "availableCpus is %d", availableCpus());
}

void scratchMemory() {
  for (const int64_t bytes : {0, 1, 1000, 100000, 64}) {
    void* memory = scratch(bytes);
    CHECK(memory && reinterpret_cast<uintptr_t>(memory) % 64 == 0, "scratch(%ld) gave %p", long(bytes), memory);
    if (memory) std::memset(memory, 1, bytes);
  }
  CHECK(!scratch(-1), "scratch of a negative size");
  void* mine = scratch(100);
  void* other = nullptr;
  std::thread([&] { other = scratch(100); }).join();
  CHECK(mine != other, "two threads share scratch memory");
}

}  // namespace

int main() {
  everyIndexOnce();
  smallPieces();
  nested();
  manyCallers();
  wakesAfterSleep();
  forkAndExit();
  fewerThreads();
  cgroupLimits();
  scratchMemory();
  return check::report("pool_test");
}
