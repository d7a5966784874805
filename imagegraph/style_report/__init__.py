"""Which style and which architecture does best over many photos: answers, figures, a page."""
