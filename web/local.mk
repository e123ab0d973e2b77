webdir = $(pkgdatadir)/web
dist_web_DATA = web/index.html web/chat.css web/account.js web/api.js web/chat.js web/forms.js web/main.js web/messages.js \
	web/page.js web/tokens.js web/views.js
