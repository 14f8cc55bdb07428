#include "device.hpp"

#include <algorithm>
#include <atomic>

namespace {

/// Replaces the value by change(value) in one step, and returns what it was.
template <class T, class Change>
T exchange_with(T* address, Change change) {
  std::atomic_ref<T> value(*address);
  T old = value.load(std::memory_order_relaxed);
  while (!value.compare_exchange_weak(old, change(old), std::memory_order_relaxed)) {
  }
  return old;
}

}  // namespace

template <class T>
T atomicAdd(T* address, std::type_identity_t<T> value, tern::emulator::Site) {
  return exchange_with(address, [value](T old) { return old + value; });
}

template <class T>
T atomicMax(T* address, std::type_identity_t<T> value, tern::emulator::Site) {
  return exchange_with(address, [value](T old) { return std::max(old, value); });
}

template <class T>
T atomicMin(T* address, std::type_identity_t<T> value, tern::emulator::Site) {
  return exchange_with(address, [value](T old) { return std::min(old, value); });
}

template <class T>
T atomicExch(T* address, std::type_identity_t<T> value, tern::emulator::Site) {
  return exchange_with(address, [value](T) { return value; });
}

template <class T>
T atomicCAS(T* address, std::type_identity_t<T> compare, std::type_identity_t<T> value, tern::emulator::Site) {
  std::atomic_ref<T>(*address).compare_exchange_strong(compare, value, std::memory_order_relaxed);
  return compare;
}

using tern::emulator::Site;
template int atomicAdd(int*, int, Site);
template unsigned atomicAdd(unsigned*, unsigned, Site);
template unsigned long long atomicAdd(unsigned long long*, unsigned long long, Site);
template float atomicAdd(float*, float, Site);
template double atomicAdd(double*, double, Site);
template int atomicMax(int*, int, Site);
template unsigned atomicMax(unsigned*, unsigned, Site);
template unsigned long long atomicMax(unsigned long long*, unsigned long long, Site);
template int atomicMin(int*, int, Site);
template unsigned atomicMin(unsigned*, unsigned, Site);
template unsigned long long atomicMin(unsigned long long*, unsigned long long, Site);
template int atomicExch(int*, int, Site);
template unsigned atomicExch(unsigned*, unsigned, Site);
template unsigned long long atomicExch(unsigned long long*, unsigned long long, Site);
template float atomicExch(float*, float, Site);
template int atomicCAS(int*, int, int, Site);
template unsigned atomicCAS(unsigned*, unsigned, unsigned, Site);
template unsigned long long atomicCAS(unsigned long long*, unsigned long long, unsigned long long, Site);
