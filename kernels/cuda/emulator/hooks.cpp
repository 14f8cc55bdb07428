/// What the instrumented code of the .cu files calls, in the checked build only: the names are those of GCC's
/// ThreadSanitizer and UndefinedBehaviorSanitizer, whose runtimes are not linked. Outside kernels they do nothing.

#include "multiprocessor.hpp"
#include "symbols.hpp"

#include <fmt/format.h>

#include <atomic>
#include <cstdint>

using tern::emulator::AccessKind;
using tern::emulator::DeviceMemory;
using tern::emulator::Multiprocessor;

namespace {

inline void note(const volatile void* p, std::size_t bytes, AccessKind kind, const void* call) {
  if (Multiprocessor* running = Multiprocessor::running()) running->access(p, bytes, kind, call);
}

// As laid out by GCC, see libsanitizer/ubsan/ubsan_value.h and ubsan_handlers.h.
struct SourceLocation {
  const char* file;
  std::uint32_t line, column;
};
struct TypeDescriptor {
  std::uint16_t kind, info;
  char name[1];
};
struct TypeMismatch {
  SourceLocation location;
  const TypeDescriptor* type;
  std::uint8_t log_alignment, kind;
};
struct OutOfBounds {
  SourceLocation location;
  const TypeDescriptor *array, *index;
};

}  // namespace

extern "C" {

void __ubsan_handle_type_mismatch_v1(const TypeMismatch* what, std::uintptr_t address) {
  if (Multiprocessor* running = Multiprocessor::stop_running())
    running->fault(fmt::format("accesses a {} at address {}, which is not a multiple of {}", &what->type->name[0],
                               DeviceMemory::get().device_address(reinterpret_cast<const void*>(address)),
                               1 << what->log_alignment),
                   tern::emulator::source_line(__builtin_return_address(0)));
}

void __ubsan_handle_out_of_bounds(const OutOfBounds* what, std::uintptr_t index) {
  if (Multiprocessor* running = Multiprocessor::stop_running())
    running->fault(
        fmt::format("index {} is out of bounds of {}", static_cast<std::intptr_t>(index), &what->array->name[0]),
        tern::emulator::source_line(__builtin_return_address(0)));
}

void __tsan_init() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

#define TERN_ACCESS(size)                                                                                     \
  void __tsan_read##size(void* p) { note(p, size, AccessKind::read, __builtin_return_address(0)); }           \
  void __tsan_write##size(void* p) { note(p, size, AccessKind::write, __builtin_return_address(0)); }         \
  void __tsan_unaligned_read##size(void* p) { note(p, size, AccessKind::read, __builtin_return_address(0)); } \
  void __tsan_unaligned_write##size(void* p) { note(p, size, AccessKind::write, __builtin_return_address(0)); }
TERN_ACCESS(1)
TERN_ACCESS(2)
TERN_ACCESS(4)
TERN_ACCESS(8)
TERN_ACCESS(16)
#undef TERN_ACCESS
void __tsan_read_range(void* p, std::size_t bytes) { note(p, bytes, AccessKind::read, __builtin_return_address(0)); }
void __tsan_write_range(void* p, std::size_t bytes) { note(p, bytes, AccessKind::write, __builtin_return_address(0)); }

// std::atomic in the host code of a .cu file. (A kernel's atomics are functions of device.hpp.)
#define TERN_ATOMIC_UPDATE(bits, type, name)                             \
  type __tsan_atomic##bits##_##name(volatile type* p, type value, int) { \
    return __atomic_##name(p, value, __ATOMIC_SEQ_CST);                  \
  }
#define TERN_ATOMIC(bits, type)                                                                                 \
  type __tsan_atomic##bits##_load(const volatile type* p, int) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); } \
  void __tsan_atomic##bits##_store(volatile type* p, type value, int) {                                         \
    __atomic_store_n(p, value, __ATOMIC_SEQ_CST);                                                               \
  }                                                                                                             \
  type __tsan_atomic##bits##_exchange(volatile type* p, type value, int) {                                      \
    return __atomic_exchange_n(p, value, __ATOMIC_SEQ_CST);                                                     \
  }                                                                                                             \
  bool __tsan_atomic##bits##_compare_exchange_strong(volatile type* p, type* expected, type value, int, int) {  \
    return __atomic_compare_exchange_n(p, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);          \
  }                                                                                                             \
  bool __tsan_atomic##bits##_compare_exchange_weak(volatile type* p, type* expected, type value, int, int) {    \
    return __atomic_compare_exchange_n(p, expected, value, true, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);           \
  }                                                                                                             \
  TERN_ATOMIC_UPDATE(bits, type, fetch_add)                                                                     \
  TERN_ATOMIC_UPDATE(bits, type, fetch_sub)                                                                     \
  TERN_ATOMIC_UPDATE(bits, type, fetch_and)                                                                     \
  TERN_ATOMIC_UPDATE(bits, type, fetch_or)                                                                      \
  TERN_ATOMIC_UPDATE(bits, type, fetch_xor)
TERN_ATOMIC(8, std::uint8_t)
TERN_ATOMIC(16, std::uint16_t)
TERN_ATOMIC(32, std::uint32_t)
TERN_ATOMIC(64, std::uint64_t)
#undef TERN_ATOMIC
#undef TERN_ATOMIC_UPDATE
void __tsan_atomic_thread_fence(int) { std::atomic_thread_fence(std::memory_order_seq_cst); }

}  // extern "C"
