"""Pictures in, clips out. Knows no job and no model."""
