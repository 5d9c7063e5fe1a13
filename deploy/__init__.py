"""Tools that put GenLoop on other machines; the app itself never imports them."""
