# Links the trainyard program with static archives when all are installed, with the shared objects
# otherwise (slower to start, the same otherwise).
set(STATIC_NAMES grpc++ grpc gpr address_sorting upb cares re2 ssl crypto z protobuf yaml-cpp)
file(GLOB STATIC_ARCHIVES "/usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/libabsl_*.a")
set(STATIC_MISSING)
foreach(name ${STATIC_NAMES})
  find_library(STATIC_${name} NAMES "lib${name}.a")
  mark_as_advanced(STATIC_${name})
  if(STATIC_${name})
    list(APPEND STATIC_ARCHIVES "${STATIC_${name}}")
  else()
    list(APPEND STATIC_MISSING "lib${name}.a")
  endif()
endforeach()

target_link_libraries(trainyard PRIVATE trainyard_options)
if(STATIC_MISSING)
  message(STATUS "trainyard is linked dynamically, without: ${STATIC_MISSING}")
  target_link_libraries(trainyard PRIVATE trainyard_cli)
else()
  # File names instead of targets, so that no target's shared objects come along.
  set(OWN trainyard_cli trainyard_sdk trainyard_spec trainyard_blob trainyard_worker_core
      trainyard_launch_spec trainyard_grpc_status trainyard_common trainyard_grpc trainyard_proto)
  set(OWN_FILES)
  foreach(library ${OWN})
    if(TARGET ${library})
      add_dependencies(trainyard ${library})
      list(APPEND OWN_FILES "$<TARGET_FILE:${library}>")
    endif()
  endforeach()
  target_include_directories(trainyard SYSTEM PRIVATE
    "$<TARGET_PROPERTY:trainyard_proto,INTERFACE_INCLUDE_DIRECTORIES>")
  target_link_libraries(trainyard PRIVATE
    -Wl,--start-group ${OWN_FILES} ${STATIC_ARCHIVES} -Wl,--end-group
    -Wl,--gc-sections -static-libstdc++ -static-libgcc Threads::Threads ${CMAKE_DL_LIBS})
endif()
