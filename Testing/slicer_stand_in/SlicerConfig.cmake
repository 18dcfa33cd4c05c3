# Stands in for Slicer's package in a test of the extension's CMake files: what Slicer would be told is written to
# recorded.txt in the build folder, one "name=value" a line. The names are Slicer's, the bodies are not.
set(Slicer_USE_FILE ${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake)
set(Slicer_EXTENSION_GENERATE_CONFIG ${CMAKE_CURRENT_LIST_DIR}/GenerateConfig.cmake)
set(Slicer_EXTENSION_CPACK ${CMAKE_CURRENT_LIST_DIR}/CPack.cmake)
set(Slicer_FOUND TRUE)
