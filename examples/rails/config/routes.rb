Rails.application.routes.draw do
  root to: "people#show"
  get "up", to: "people#up"
end
