webdir = $(pkgdatadir)/web
dist_web_DATA = web/index.html web/chat.js web/chat.css
