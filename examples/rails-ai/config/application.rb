require "rails"
require "active_record/railtie"
require "action_controller/railtie"

module Notes
  class Application < Rails::Application
    config.load_defaults 6.1
    config.eager_load = true
    config.log_level = :warn
    config.logger = ActiveSupport::Logger.new($stdout)
    config.secret_key_base = ENV.fetch("SECRET_KEY_BASE")
  end
end
