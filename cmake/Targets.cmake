# One way to declare each kind of target, so that flags and test registration are the same everywhere.
include(GNUInstallDirs)

# trainyard_library(NAME [HOT] SOURCES a.cc ... [DEPS lib ...]) : a static library of our own code.
# HOT: what tests play millions of times; optimised a little under sanitizers, where the rest is not.
function(trainyard_library name)
  cmake_parse_arguments(ARG "HOT" "" "SOURCES;DEPS" ${ARGN})
  if(ARG_SOURCES)
    add_library(${name} STATIC ${ARG_SOURCES})
    target_link_libraries(${name} PUBLIC ${ARG_DEPS} PRIVATE trainyard_options)
    target_include_directories(${name} PUBLIC "${CMAKE_SOURCE_DIR}")
    if(ARG_HOT AND TRAINYARD_SANITIZE)
      target_compile_options(${name} PRIVATE -O1)
      trainyard_use_pch(${name} hot)
    else()
      trainyard_use_pch(${name} "")
    endif()
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE ${ARG_DEPS})
    target_include_directories(${name} INTERFACE "${CMAKE_SOURCE_DIR}")
  endif()
endfunction()

# trainyard_binary(NAME SOURCES main.cc ... [DEPS lib ...]) : an installed program.
function(trainyard_binary name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE trainyard_options ${ARG_DEPS} ${TRAINYARD_SANITIZER_DEFAULTS})
  install(TARGETS ${name} RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endfunction()

# Sanitizers make everything slower.
function(trainyard_stretch_timeout variable)
  if(TRAINYARD_SANITIZE)
    math(EXPR stretched "5 * ${${variable}}")
    set(${variable} ${stretched} PARENT_SCOPE)
  endif()
endfunction()

# What the tests with the label "pure" need.
add_custom_target(pure_tests)

# trainyard_test(NAME SOURCES x_test.cc ... [DEPS lib ...] [TIMEOUT s] [LABELS l ...]) : a GoogleTest program.
# Each program is one ctest entry; tests/main.cc is linked in.
function(trainyard_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  if(NOT TRAINYARD_TESTS)
    return()
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  trainyard_stretch_timeout(ARG_TIMEOUT)
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE trainyard_options ${ARG_DEPS} GTest::gmock GTest::gtest trainyard_test_main
                                        ${TRAINYARD_SANITIZER_DEFAULTS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
    # GCC 12, optimising, sees overlaps in string concatenation that are not there (its bug 105651).
    target_compile_options(${name} PRIVATE -Wno-restrict)
  endif()
  if("pure" IN_LIST ARG_LABELS)
    add_dependencies(pure_tests ${name})
  endif()
  trainyard_use_pch(${name} test)
  add_test(NAME ${name} COMMAND ${name})
  # tests/main.cc says which of its tests were skipped and why.
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}" SKIP_RETURN_CODE 77)
endfunction()

# trainyard_script_test(NAME script [TIMEOUT s] [LABELS l ...]) : an integration test; the script gets the build folder as $1.
function(trainyard_script_test name script)
  cmake_parse_arguments(ARG "" "TIMEOUT" "LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  trainyard_stretch_timeout(ARG_TIMEOUT)
  add_test(NAME ${name} COMMAND "${script}" "${CMAKE_BINARY_DIR}"
           WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
endfunction()
