# stb's single-file libraries (Debian: libstb-dev). Defines stb::stb, whose headers are <stb_image.h> and its siblings.
find_path(STB_INCLUDE_DIR stb_image.h PATH_SUFFIXES stb)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(stb REQUIRED_VARS STB_INCLUDE_DIR)
if(stb_FOUND AND NOT TARGET stb::stb)
  add_library(stb::stb INTERFACE IMPORTED)
  # SYSTEM, so that warnings in stb are not ours to fix.
  set_target_properties(stb::stb PROPERTIES INTERFACE_SYSTEM_INCLUDE_DIRECTORIES ${STB_INCLUDE_DIR}
    INTERFACE_INCLUDE_DIRECTORIES ${STB_INCLUDE_DIR})
endif()
