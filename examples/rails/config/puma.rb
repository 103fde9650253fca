environment "production"
port 3000
threads 5, 5
