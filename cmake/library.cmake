# SPDX-License-Identifier: MIT
# libtrawl.so and libtrawl.a from the modules below src/, the pkg-config file, and the installed headers.
# Only the names in scripts/symbols.txt leave the shared library.
include(GNUInstallDirs)
get_property(modules GLOBAL PROPERTY TRAWL_LIBRARY_MODULES)
if(NOT tw_api IN_LIST modules)
  return()
endif()

set(symbols_file ${CMAKE_SOURCE_DIR}/scripts/symbols.txt)
set(version_script ${CMAKE_BINARY_DIR}/libtrawl.map)
file(STRINGS ${symbols_file} lines REGEX "^trawl_")
set(names "")
foreach(line IN LISTS lines)
  string(REGEX REPLACE " .*" "" name "${line}")
  string(APPEND names "    ${name};\n")
endforeach()
file(CONFIGURE OUTPUT ${version_script} CONTENT "{\n  global:\n${names}  local:\n    *;\n};\n" @ONLY)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${symbols_file})

set(objects "")
foreach(module ${modules})
  list(APPEND objects $<TARGET_OBJECTS:${module}>)
endforeach()
add_library(trawl_shared SHARED ${objects})
add_library(trawl_static STATIC ${objects})
foreach(library trawl_shared trawl_static)
  set_target_properties(${library} PROPERTIES OUTPUT_NAME trawl LINKER_LANGUAGE C)
endforeach()
# Until 1.0 a minor version may break programs, so it is part of the name that they look for.
set_target_properties(
  trawl_shared PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
                          LINK_DEPENDS ${version_script})
target_link_options(trawl_shared PRIVATE -Wl,--version-script=${version_script} -Wl,--no-undefined -Wl,--as-needed)
set(libraries PkgConfig::JANSSON PkgConfig::PCRE2 PkgConfig::UTF8PROC PkgConfig::XXHASH PkgConfig::HWLOC
              Threads::Threads ${CMAKE_DL_LIBS} m)
target_link_libraries(trawl_shared PRIVATE ${libraries})

# The prefix in trawl.pc is found from where the file lies: what was installed can be moved.
file(RELATIVE_PATH TRAWL_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(${CMAKE_SOURCE_DIR}/cmake/trawl.pc.in ${CMAKE_BINARY_DIR}/trawl.pc @ONLY)
install(TARGETS trawl_shared trawl_static
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/trawl DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT library
        FILES_MATCHING PATTERN "*.h")
install(FILES ${CMAKE_BINARY_DIR}/trawl.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT library)
