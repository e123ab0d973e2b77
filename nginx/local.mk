# nginx: the templates and the script that renders them.
nginxdatadir = $(pkgdatadir)/nginx
dist_nginxdata_DATA = nginx/llmchat.conf.in nginx/tls.conf.in nginx/redirect.conf.in nginx/nginx.conf.in
dist_sbin_SCRIPTS += nginx/llmchat-nginx-conf
