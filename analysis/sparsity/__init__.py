"""Pictures of what sparse attention is worth."""
