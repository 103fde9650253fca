environment "production"
port 3000
# A stream of words holds a thread for as long as it takes.
threads 8, 8
