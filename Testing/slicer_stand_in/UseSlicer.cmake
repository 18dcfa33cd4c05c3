set(recorded ${CMAKE_BINARY_DIR}/recorded.txt)
file(WRITE ${recorded} "project=${PROJECT_NAME}\n")

foreach(name HOMEPAGE CATEGORY CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  if(DEFINED EXTENSION_${name})
    file(APPEND ${recorded} "EXTENSION_${name}=${EXTENSION_${name}}\n")
  endif()
endforeach()

macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(GIVEN "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(GIVEN_UNPARSED_ARGUMENTS OR NOT GIVEN_NAME)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule: wrong arguments ${ARGN}")
  endif()
  file(APPEND ${recorded} "NAME=${GIVEN_NAME}\nSCRIPTS=${GIVEN_SCRIPTS}\nRESOURCES=${GIVEN_RESOURCES}\n"
    "WITH_GENERIC_TESTS=${GIVEN_WITH_GENERIC_TESTS}\n")
endmacro()

macro(slicer_add_python_unittest)
  cmake_parse_arguments(GIVEN "" "TESTNAME_PREFIX;SCRIPT" "SLICER_ARGS" ${ARGN})
  file(APPEND ${recorded} "unittest=${CMAKE_CURRENT_SOURCE_DIR}/${GIVEN_SCRIPT}\n")
endmacro()
