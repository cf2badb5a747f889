"""The columns of the serving benchmark; imports nothing, since servers read it, too."""

NUMBERS = tuple(f"number_{index}" for index in range(17))
CATEGORIES = {
    "plan": ("basic", "standard", "plus", "family", "business"),
    "channel": ("shop", "web", "phone", "partner", "app", "mail", "other"),
    "region": ("north", "south", "east", "west", "centre", "coast", "islands", "abroad"),
}
CLASSES = ("no", "yes")
