# SPDX-License-Identifier: MIT
# One static library per module, tw_<module>. What a module may use is written once, in scripts/deps.txt.
set(TRAWL_DEPS ${CMAKE_SOURCE_DIR}/scripts/deps.txt)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${TRAWL_DEPS})
set_property(GLOBAL PROPERTY TRAWL_LIBRARY_MODULES "")
add_custom_target(modules) # everything but tests and benchmarks: what ./x lint tidy looks at

# The modules that `name` may use, in order.
function(trawl_module_uses name out)
  file(STRINGS ${TRAWL_DEPS} line REGEX "^${name}:")
  if(NOT line)
    message(FATAL_ERROR "module ${name}: scripts/deps.txt has no line for it")
  endif()
  string(REGEX REPLACE "^[^:]*: *" "" line "${line}")
  string(REGEX REPLACE " +" ";" line "${line}")
  set(${out} "${line}" PARENT_SCOPE)
endfunction()

# trawl_module(name [COMMAND_ONLY] [DIR folder] [LIBS ...]): every .c below src/<name> (or DIR), main.c and plug-ins
# left out. Modules below src/ are what libtrawl is made of, but for those that only the command uses.
function(trawl_module name)
  cmake_parse_arguments(M "COMMAND_ONLY" "DIR" "LIBS" ${ARGN})
  if(M_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "module ${name}: unknown arguments ${M_UNPARSED_ARGUMENTS}; uses are in scripts/deps.txt")
  endif()
  if(NOT M_DIR)
    set(M_DIR src/${name})
  endif()
  trawl_module_uses(${name} uses)
  list(TRANSFORM uses PREPEND tw_)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${M_DIR}/*.c)
  list(FILTER sources EXCLUDE REGEX "/main\\.c$|/plugin/") # plug-ins are objects of their own
  if(sources)
    add_library(tw_${name} STATIC ${sources})
    add_dependencies(modules tw_${name})
    set(scope PUBLIC)
    if(M_DIR MATCHES "^src/" AND NOT M_COMMAND_ONLY)
      set_property(GLOBAL APPEND PROPERTY TRAWL_LIBRARY_MODULES tw_${name})
    endif()
  else()
    add_library(tw_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(
    tw_${name} ${scope} ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR})
  target_link_libraries(tw_${name} ${scope} ${uses} ${M_LIBS})
endfunction()

# Files named *_<isa>.c are the only ones that see the flags of that ISA.
function(trawl_isa_flags suffix)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/kernels/*_${suffix}.c)
  set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS "${ARGN}")
endfunction()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  trawl_isa_flags(avx2 -mavx2 -mfma -mf16c)
  trawl_isa_flags(avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512cd -mfma -mf16c)
  trawl_isa_flags(avx512bf16 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512cd -mavx512bf16 -mfma -mf16c)
endif()

trawl_module(base LIBS PkgConfig::XXHASH PkgConfig::HWLOC Threads::Threads m)
trawl_module(tensor)
trawl_module(json LIBS PkgConfig::JANSSON)
trawl_module(http COMMAND_ONLY LIBS PkgConfig::CURL)
trawl_module(cloud COMMAND_ONLY LIBS PkgConfig::CRYPTO)
trawl_module(hub COMMAND_ONLY LIBS PkgConfig::CRYPTO)
trawl_module(kernels)
trawl_module(formats)
trawl_module(text LIBS PkgConfig::PCRE2 PkgConfig::UTF8PROC)
trawl_module(constrain)
trawl_module(sample)
trawl_module(mesh)
trawl_module(comm LIBS ${CMAKE_DL_LIBS})
trawl_module(kv)
trawl_module(model)
trawl_module(engine)
trawl_module(store)
trawl_module(api)
trawl_module(app_ask DIR apps/ask LIBS tw_api)
trawl_module(app_serve DIR apps/serve LIBS tw_api PkgConfig::EVENT)
add_custom_command(
  OUTPUT ${CMAKE_BINARY_DIR}/serve_page.c
  COMMAND ${CMAKE_COMMAND} -DINPUT=web/index.html -DOUTPUT=${CMAKE_BINARY_DIR}/serve_page.c
          -DHEADER=apps/serve/serve_page.h -DNAME=tw_serve_page -P cmake/embed.cmake
  DEPENDS ${CMAKE_SOURCE_DIR}/web/index.html ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
  WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
  VERBATIM)
target_sources(tw_app_serve PRIVATE ${CMAKE_BINARY_DIR}/serve_page.c)
trawl_module(app_arc DIR apps/arc LIBS tw_api PkgConfig::CRYPTO)
trawl_module(app_gsm8k DIR apps/gsm8k LIBS tw_api)
trawl_module(app_harvest DIR apps/harvest LIBS tw_api)
trawl_module(cli DIR cli LIBS tw_api)
