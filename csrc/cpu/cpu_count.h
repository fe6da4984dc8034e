// How many CPUs this process may really use.
#pragma once

namespace quanto::cpu {

// The affinity mask, lowered to the cgroup's CPU quota (rounded up). At least 1.
int availableCpus();

// The CPU quota of this process's cgroup and its parents, version 1 or 2, in CPUs rounded up; 0 where there is none. `root` replaces
// "/" in front of proc/ and sys/, for tests.
int cgroupCpuLimit(const char* root);

}  // namespace quanto::cpu
