#include "multiprocessor.hpp"

#include <algorithm>
#include <atomic>

using tern::emulator::note_atomic;

namespace {

/// Replaces the value by change(value) in one step, and returns what it was.
template <class T, class Change>
T exchange_with(T* address, Change change) {
  std::atomic_ref<T> value(*address);
  T old = value.load(std::memory_order_acquire);
  while (!value.compare_exchange_weak(old, change(old), std::memory_order_acq_rel)) {
  }
  return old;
}

}  // namespace

void __threadfence() { std::atomic_thread_fence(std::memory_order_seq_cst); }

template <class T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  note_atomic(address, sizeof(T), __builtin_return_address(0));
  return exchange_with(address, [value](T old) { return old + value; });
}

template <class T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  note_atomic(address, sizeof(T), __builtin_return_address(0));
  return exchange_with(address, [value](T old) { return std::max(old, value); });
}

template <class T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  note_atomic(address, sizeof(T), __builtin_return_address(0));
  return exchange_with(address, [value](T old) { return std::min(old, value); });
}

template <class T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  note_atomic(address, sizeof(T), __builtin_return_address(0));
  return exchange_with(address, [value](T) { return value; });
}

template <class T>
T atomicCAS(T* address, std::type_identity_t<T> compare, std::type_identity_t<T> value) {
  note_atomic(address, sizeof(T), __builtin_return_address(0));
  std::atomic_ref<T>(*address).compare_exchange_strong(compare, value, std::memory_order_acq_rel);
  return compare;
}

template int atomicAdd(int*, int);
template unsigned atomicAdd(unsigned*, unsigned);
template unsigned long long atomicAdd(unsigned long long*, unsigned long long);
template float atomicAdd(float*, float);
template double atomicAdd(double*, double);
template int atomicMax(int*, int);
template unsigned atomicMax(unsigned*, unsigned);
template unsigned long long atomicMax(unsigned long long*, unsigned long long);
template int atomicMin(int*, int);
template unsigned atomicMin(unsigned*, unsigned);
template unsigned long long atomicMin(unsigned long long*, unsigned long long);
template int atomicExch(int*, int);
template unsigned atomicExch(unsigned*, unsigned);
template unsigned long long atomicExch(unsigned long long*, unsigned long long);
template float atomicExch(float*, float);
template int atomicCAS(int*, int, int);
template unsigned atomicCAS(unsigned*, unsigned, unsigned);
template unsigned long long atomicCAS(unsigned long long*, unsigned long long, unsigned long long);
