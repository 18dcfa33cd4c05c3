file(APPEND ${recorded} "generate config=yes\n")
