"""Operations on finished clips: trim, speed, join and so on; a chain has one decode, one encode."""
