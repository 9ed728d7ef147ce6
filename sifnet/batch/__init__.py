"""Many scenes: found, mapped each by itself, remembered, shown."""
