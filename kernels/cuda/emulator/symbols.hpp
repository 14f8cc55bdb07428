#pragma once

#include <source_location>
#include <string>

namespace tern::emulator {

/// "kernels/cuda/softmax.cu:41": the file as seen from the root of the source tree.
std::string source_line(const char* file, unsigned line);
std::string source_line(const std::source_location& site);
/// The same for a return address, from the program's debug information; the emulator's own headers are passed over.
std::string source_line(const void* return_address);

/// The mangled name of the function at this address, or null.
const char* function_name(const void* function);

}  // namespace tern::emulator
