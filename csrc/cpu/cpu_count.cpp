#include "cpu_count.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

namespace quanto::cpu {
namespace {

int tighter(int limit, int other) { return limit == 0 ? other : other == 0 ? limit : std::min(limit, other); }

int cpusOf(double quota, double period) {
  if (quota <= 0 || period <= 0) return 0;
  return std::max(1, static_cast<int>(std::min(quota / period + 0.999, 1e6)));
}

// Version 2: "max 100000" or "150000 100000". Version 1: two files, and a quota of -1 for none.
int limitOf(const std::string& folder, bool unified) {
  double quota = 0, period = 0;
  if (unified) {
    std::ifstream(folder + "/cpu.max") >> quota >> period;
  } else {
    std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
    std::ifstream(folder + "/cpu.cfs_period_us") >> period;
  }
  return cpusOf(quota, period);
}

// A parent's quota binds its children, and inside a container the path may not exist below the mount: walk up to the mount itself.
int limitOfPath(const std::string& mount, std::string path, bool unified) {
  int limit = 0;
  for (;;) {
    limit = tighter(limit, limitOf(mount + path, unified));
    const size_t slash = path.find_last_of('/');
    if (slash == std::string::npos) return limit;
    path.resize(slash);
  }
}

}  // namespace

int cgroupCpuLimit(const char* root) {
  const std::string base(root), mount = base + "sys/fs/cgroup";
  std::ifstream groups(base + "proc/self/cgroup");
  int limit = 0;
  // Lines are "hierarchy:controllers:path"; version 2 is the line without controllers.
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), path = line.substr(second + 1);
    if (controllers.empty()) {
      limit = tighter(limit, limitOfPath(mount, path, true));
      continue;
    }
    std::istringstream names(controllers);
    for (std::string name; std::getline(names, name, ',');) {
      if (name == "cpu") limit = tighter(limit, limitOfPath(mount + "/cpu", path, false));
    }
  }
  return limit;
}

int availableCpus() {
  int count = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
#if defined(__linux__)
  // The mask must be as large as the kernel's, which is not known beforehand.
  for (int capacity = 1024; capacity <= 1 << 20; capacity *= 2) {
    cpu_set_t* mask = CPU_ALLOC(capacity);
    if (!mask) break;
    const size_t bytes = CPU_ALLOC_SIZE(capacity);
    const bool known = sched_getaffinity(0, bytes, mask) == 0;
    if (known) count = std::max(1, CPU_COUNT_S(bytes, mask));
    CPU_FREE(mask);
    if (known) break;
  }
  count = std::max(1, tighter(cgroupCpuLimit("/"), count));
#endif
  return count;
}

}  // namespace quanto::cpu
