file(APPEND ${recorded} "cpack=yes\n")
