# SPDX-License-Identifier: MIT
# The MPI transport: a plug-in, so that one build of everything else runs with and without MPI. Made where Open MPI's
# (or another MPI's) development files are; looked for at run time beside the program and in TRAWL_PLUGIN_DIR.
include(GNUInstallDirs)
set(TRAWL_PLUGIN_DIR ${CMAKE_INSTALL_FULL_LIBDIR}/trawl CACHE PATH "where plug-ins are installed")
target_compile_definitions(tw_comm PRIVATE TW_COMM_PLUGIN_DIR="${TRAWL_PLUGIN_DIR}")

option(TRAWL_MPI "build the MPI plug-in where MPI is found" ON)
if(NOT TRAWL_MPI)
  return()
endif()
set(TRAWL_MPI_PACKAGES ompi-c mpich CACHE STRING "pkg-config names of the MPI to build for, the first that is found")
pkg_search_module(MPI IMPORTED_TARGET ${TRAWL_MPI_PACKAGES})
if(NOT MPI_FOUND)
  message(STATUS "no MPI found: no plug-in for mpirun and srun (package libopenmpi-dev)")
  return()
endif()
add_library(trawl_mpi MODULE ${CMAKE_SOURCE_DIR}/src/comm/mpi/plugin/comm_mpi_plugin.c)
set_target_properties(trawl_mpi PROPERTIES OUTPUT_NAME trawl-mpi LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
target_include_directories(trawl_mpi PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include)
target_include_directories(trawl_mpi SYSTEM PRIVATE ${MPI_INCLUDE_DIRS})
target_link_libraries(trawl_mpi PRIVATE PkgConfig::MPI)
install(TARGETS trawl_mpi LIBRARY DESTINATION ${TRAWL_PLUGIN_DIR})
