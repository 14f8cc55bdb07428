#pragma once

#include <tern/kernels/backend.hpp>

#include <string>

namespace tern {

/// Where a tensor's memory lies and its kernels run. `reference` is the slow oracle that the other two are tested
/// against; like cpu it lives in host memory.
struct Device {
  /// cpu, cuda, or the reference.
  enum Kind { cpu, cuda, reference };

  constexpr Device(Kind k = cpu, int i = 0) : kind(k), index(i) {}  ///< Device::cpu, or Device(Device::cuda, 1)

  /// "cpu", "reference", "cuda" or "cuda:1". Throws Error for anything else.
  static Device parse(const std::string& name);
  /// As parse() reads it.
  std::string str() const;

  /// Whether the host may read and write the device's memory through a pointer.
  constexpr bool on_host() const { return kind != cuda; }

  /// Whether they are one device.
  friend constexpr bool operator==(const Device&, const Device&) = default;

  Kind kind;  ///< cpu unless given
  int index;  ///< which cuda device, from 0; 0 for the others
};

/// The memory and the kernels of a device. Throws Error where this build or this machine does not have it.
kernels::Backend& backend(Device device);

}  // namespace tern
