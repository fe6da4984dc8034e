// The devices there are: the CPU, and whatever plugins were loaded.
#pragma once

#include <string>
#include <vector>

#include "allocator.h"
#include "backend.h"

namespace quanto {

// One device of a backend. Devices live as long as the process; `id` is their place in the registry and what crosses to JS.
struct Device {
  Device(const Backend& backend, int32_t index, int32_t id);
  const Backend& backend;
  const int32_t index, id;
  const std::string name;  // "cpu", "cuda:0"
  Allocator allocator;
};

Device& cpuDevice();
Device& deviceById(int64_t id);
// By name: "cpu", "cuda" (its device 0), "cuda:1". Throws DEVICE_UNAVAILABLE with the reason.
Device& deviceByName(const std::string& name);
// Loads a plugin and registers its devices; returns its name ("cuda"). Loading the same file again changes nothing.
// Throws DEVICE_UNAVAILABLE with the reason.
std::string loadBackend(const std::string& path);
std::vector<std::string> deviceNames();
// Bytes that the devices' allocators hold for reuse.
size_t cachedBytesOfAllDevices();
void trimAllDevices();

}  // namespace quanto
