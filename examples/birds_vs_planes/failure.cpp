#include <birds_vs_planes/failure.hpp>
#include <birds_vs_planes/interrupt.hpp>
#include <birds_vs_planes/train.hpp>

#include <CLI/CLI.hpp>

#include <new>

namespace birds_vs_planes {

Failure failure_of(std::exception_ptr exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const CLI::ParseError& e) {
    return {e.what(), usage};
  } catch (const FailedTogether& e) {
    return {e.what(), e.code, true};
  } catch (const Interrupted& e) {
    return {e.what(), by_signal + e.signal, true};
  } catch (const Diverged& e) {
    return {e.what(), diverged, true};
  } catch (const std::bad_alloc&) {
    return {"no memory left", failed};
  } catch (const std::exception& e) {
    return {e.what(), failed};
  }
}

}  // namespace birds_vs_planes
