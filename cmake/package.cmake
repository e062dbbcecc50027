# What `cmake --install build/release --prefix PREFIX` installs, and the target `uninstall` that takes it away again. Other projects
# write find_package(ringmaster CONFIG REQUIRED) and link ringmaster::ringmaster; docs/your-model.md shows one.
include(CMakePackageConfigHelpers)

set(package ${CMAKE_BINARY_DIR}/package)
set(package_cmake lib/cmake/ringmaster)

# The first rule to run. Uninstalling removes a folder that other software shares only if installing made it.
set(remember "set(build \"${CMAKE_BINARY_DIR}\")\ninclude(\"${CMAKE_SOURCE_DIR}/cmake/remember_folders.cmake\")")
install(CODE "${remember}")

# ringmaster_installed_library(TARGET NAME): TARGET is ringmaster::NAME for other projects
function(ringmaster_installed_library target name)
  get_target_property(type ${target} TYPE)
  if(NOT type STREQUAL INTERFACE_LIBRARY)  # what is installed names no folder of this machine: __FILE__, debug information
    target_compile_options(${target} PRIVATE -ffile-prefix-map=${CMAKE_SOURCE_DIR}/= -ffile-prefix-map=${CMAKE_BINARY_DIR}=.)
  endif()
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
  install(TARGETS ${target} EXPORT ringmasterTargets ARCHIVE DESTINATION lib/ringmaster
          INCLUDES DESTINATION include include/ringmaster)
endfunction()

# Outside code writes <ringmaster/ringmaster.h> and then "ir/op.h" as the house does.
foreach(folder core config backend ir ops nn models)
  install(DIRECTORY src/${folder} DESTINATION include/ringmaster FILES_MATCHING PATTERN "*.h")
endforeach()
install(FILES launcher/ringmaster.h DESTINATION include/ringmaster)

install(DIRECTORY configs DESTINATION share/ringmaster FILES_MATCHING PATTERN "*.yaml")
install(DIRECTORY bench/peers DESTINATION share/ringmaster FILES_MATCHING PATTERN "*.py")
install(PROGRAMS bench/python/make_env DESTINATION share/ringmaster/python)
install(FILES bench/python/requirements.txt DESTINATION share/ringmaster/python)
install(DIRECTORY docs/ DESTINATION share/doc/ringmaster/docs FILES_MATCHING PATTERN "*.md")
install(FILES README.md LICENSE CHANGELOG.md DESTINATION share/doc/ringmaster)

configure_package_config_file(cmake/ringmasterConfig.cmake.in ${package}/ringmasterConfig.cmake
                              INSTALL_DESTINATION ${package_cmake})
write_basic_package_version_file(${package}/ringmasterConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${package}/ringmasterConfig.cmake ${package}/ringmasterConfigVersion.cmake cmake/adapters.cmake
        DESTINATION ${package_cmake})
install(EXPORT ringmasterTargets NAMESPACE ringmaster:: DESTINATION ${package_cmake})

add_custom_target(uninstall COMMAND ${CMAKE_COMMAND} -Dbuild=${CMAKE_BINARY_DIR} -P ${CMAKE_SOURCE_DIR}/cmake/uninstall.cmake
                  VERBATIM COMMENT "removing what install_manifest.txt names")
