# find_package(tern) gives tern::tern. Components:
#
#   cuda      the library has CUDA devices, by nvcc; with tern::cuda and tern_cuda_sources for kernels of your own
#   emulator  the same with the emulator in place of GPUs: tern::tern is then the library that is built for it
#   distributed  tern::distributed, where it was built with TERN_MPI
#
# The first two may be installed in one place.
set(tern_library tern)
if(tern_FIND_REQUIRED_emulator)
  set(tern_library tern-emulator)
endif()
if(NOT EXISTS ${CMAKE_CURRENT_LIST_DIR}/${tern_library}-library.cmake)
  set(tern_FOUND FALSE)
  set(tern_NOT_FOUND_MESSAGE "${CMAKE_CURRENT_LIST_DIR} has no ${tern_library}-library.cmake: of tern with the emulator and tern without, only the other one is installed there")
  return()
endif()
include(${CMAKE_CURRENT_LIST_DIR}/${tern_library}-library.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/tern-distributed.cmake OPTIONAL)
foreach(component ${tern_FIND_COMPONENTS})
  if(NOT tern_${component}_FOUND AND tern_FIND_REQUIRED_${component})
    set(tern_FOUND FALSE)
    set(tern_NOT_FOUND_MESSAGE "this tern has no component '${component}'")
  endif()
endforeach()
