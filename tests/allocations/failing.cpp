#include "failing.hpp"

#include <tern/kernels/cpu/memory.hpp>
#include <tern/kernels/error.hpp>

#include <catch2/catch.hpp>

#include <exception>
#include <iostream>
#include <new>
#include <optional>

namespace tern::test {

Counts fail_each(const std::function<void(const AllocationFault& fault, const Attempt& attempt)>& round) {
  Counts counts;
  for (const bool from_then_on : {false, true}) {
    bool reached = true;
    for (long at = 0; reached; ++at) {
      INFO("allocation " << at << (from_then_on ? " and all after it" : ""));
      round({at, from_then_on}, [&](const AllocationFault& fault, const std::function<void()>& work) {
        kernels::cpu_memory().trim();  // so that tensors ask the system, as everything else does
        std::optional<Allocations> failing(fault);
        std::exception_ptr failure;
        try {
          work();
        } catch (...) {
          failure = std::current_exception();
        }
        reached = failing->count() > at;
        failing.reset();
        if (!reached) return false;
        ++counts.allocations;
        if (!failure) return false;
        ++counts.errors;
        std::string message;
        try {
          std::rethrow_exception(failure);
        } catch (const Error& e) {
          message = e.what();
        } catch (const std::bad_alloc& e) {
          message = e.what();
        }
        CHECK(!message.empty());
        CHECK(message.find('\n') == message.npos);
        return true;
      });
    }
  }
  return counts;
}

void report(const std::string& what, const Counts& counts) {
  std::cout << what << ": " << counts.allocations << " allocations failed, " << counts.errors << " errors" << std::endl;
}

}  // namespace tern::test
