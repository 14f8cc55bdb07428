# tern_cuda_sources(FILE ...) makes .cu files of the calling folder ready for their compiler: nothing to do for nvcc, and
# for the emulator they become C++. Line numbers in its messages come from the debug information. In the checked build
# the sanitizers' instrumentation is compiled in, and what it calls is the emulator: their runtimes are not linked.
function(tern_cuda_sources)
  if(NOT TERN_CUDA STREQUAL "EMULATE")
    return()
  endif()
  # Files by their place in the project. What is compiled is named relative to the folder that it is compiled in.
  set(options -x c++ -g -ffile-prefix-map=${PROJECT_SOURCE_DIR}/= -ffile-prefix-map=${CMAKE_BINARY_DIR}=.
    -fno-strict-aliasing -ffp-contract=off -Wno-unknown-pragmas)
  if(TERN_CUDA_CHECKED)
    # One access in the source is to be one access in the machine code.
    list(APPEND options -O1 -fsanitize=thread,alignment,bounds --param=tsan-instrument-func-entry-exit=0
      -fno-tree-vectorize -fno-tree-sra)
  endif()
  set_source_files_properties(${ARGN} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "${options}")
endfunction()
