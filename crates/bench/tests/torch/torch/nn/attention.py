class SDPBackend:
    FLASH_ATTENTION, MATH = "flash", "math"
