# SPDX-License-Identifier: MIT
# The command, at the root of the build folder. Its pages and completions are printed by the command itself.
include(GNUInstallDirs)
target_compile_definitions(tw_cli PRIVATE TRAWL_VERSION="${PROJECT_VERSION}")
if(NOT EXISTS ${CMAKE_SOURCE_DIR}/cli/main.c)
  return()
endif()
add_executable(trawl ${CMAKE_SOURCE_DIR}/cli/main.c)
target_link_libraries(trawl PRIVATE tw_cli)
set_target_properties(trawl PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
install(TARGETS trawl RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})

# Pages and completions are made by the command that was just built, so they say what it does.
set(pages ${CMAKE_BINARY_DIR}/man)
set(completions ${CMAKE_BINARY_DIR}/completions)
add_custom_command(
  TARGET trawl POST_BUILD
  COMMAND ${CMAKE_COMMAND} -E rm -rf ${pages} ${completions}
  COMMAND ${CMAKE_COMMAND} -E make_directory ${completions}
  COMMAND trawl man --output_dir ${pages}
  COMMAND trawl completions bash > ${completions}/trawl
  COMMAND trawl completions zsh > ${completions}/_trawl
  COMMAND trawl completions fish > ${completions}/trawl.fish
  VERBATIM)
install(DIRECTORY ${pages}/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${completions}/trawl DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${completions}/_trawl DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(FILES ${completions}/trawl.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
