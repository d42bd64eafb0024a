-- Redis writes 1e+14 for what is joined by `..`: numbers that grow are written by this, and those of
-- clients stay the text that they came as.
local function digits(number) return string.format('%.0f', number) end
