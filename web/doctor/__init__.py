"""`python app.py doctor`: whether everything that the app stands on is in order."""
