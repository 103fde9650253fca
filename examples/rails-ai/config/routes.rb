Rails.application.routes.draw do
  resources :notes, only: %i[create show]
  get "search", to: "search#index"
  get "search/explain", to: "search#explain"
  get "up", to: "health#up"
  get "health/model_ready", to: "health#model_ready"
end
