# libbacktrace, which GCC brings (Debian: g++). Defines backtrace::backtrace with the header <backtrace.h>.
find_library(BACKTRACE_LIBRARY backtrace HINTS ${CMAKE_CXX_IMPLICIT_LINK_DIRECTORIES})
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(backtrace REQUIRED_VARS BACKTRACE_LIBRARY)
if(backtrace_FOUND AND NOT TARGET backtrace::backtrace)
  add_library(backtrace::backtrace UNKNOWN IMPORTED)
  set_target_properties(backtrace::backtrace PROPERTIES IMPORTED_LOCATION ${BACKTRACE_LIBRARY})
endif()
